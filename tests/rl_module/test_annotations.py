"""Stability marks, `override` and deprecated names."""

import pytest
from motrix_rl.rl_module import (
    Deprecated,
    ExperimentalAPI,
    OverrideToImplementCustomLogic,
    OverrideToImplementCustomLogic_CallToSuperRecommended,
    PublicAPI,
    RLModule,
    RLModuleSpec,
    override,
)


def test_marks():
    assert RLModuleSpec.__stability__ == "alpha"

    @PublicAPI()
    class Stable:
        pass

    @ExperimentalAPI
    def moving():
        pass

    assert (Stable.__stability__, moving.__stability__) == ("stable", "experimental")
    assert RLModule.setup.__override_to_customise__ == "replace"
    assert RLModule.input_specs_train.__override_to_customise__ == "extend"


@pytest.mark.parametrize(
    "mark",
    [OverrideToImplementCustomLogic, OverrideToImplementCustomLogic_CallToSuperRecommended],
)
def test_marks_leave_the_method_as_it_is(mark):
    def method():
        return 3

    assert mark(method) is method
    assert method() == 3


def test_override_finds_a_typo():
    with pytest.raises(NameError, match="overrides nothing in RLModule"):

        class Typo(RLModule):
            @override(RLModule)
            def setpu(self):
                pass


def test_deprecated_names_the_new_one():
    class Old:
        @Deprecated(new="Old.walk()")
        def stroll(self):
            """Gone."""

    assert Old.stroll.__doc__ == "Gone."
    with pytest.raises(ValueError, match=r"Old.stroll` is gone: use `Old.walk\(\)`"):
        Old().stroll(1, two=2)
