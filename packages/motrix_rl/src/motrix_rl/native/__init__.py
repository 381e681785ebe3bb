"""MLPs as machine code, compiled by LLVM for the processor at hand."""
