"""Words written key=value."""

import pytest

from resatlas.errors import BlueprintError, UnknownName, UsageError
from resatlas.values.knobs import key_values


def test_words_give_texts_in_their_order() -> None:
    """A value may hold the sign itself; without known keys any key is taken."""
    assert list(key_values(["b=1=2", "a.c=x"], what="setting").items()) == [("b", "1=2"), ("a.c", "x")]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["width"], BlueprintError, 'a knob is written key=value; got "width" (net: width, depth)'),
        (["width="], BlueprintError, 'got "width=" (net: width, depth)'),
        (["=2"], UnknownName, 'no knob of net ""; there are width, depth'),
        (["wdith=2"], UnknownName, 'no knob of net "wdith"; did you mean "width"?'),
        (["depth=1", "width=2", "depth=1"], BlueprintError, 'knob "depth" of net is given twice'),
    ],
)
def test_other_words_are_refused(words: list[str], error: type[UsageError], message: str) -> None:
    """Each with what is allowed, as the error of the caller."""
    with pytest.raises(error) as refused:
        key_values(words, of="net", known=("width", "depth"), error=BlueprintError)
    assert message in str(refused.value)


def test_a_malformed_setting_is_answered_with_an_example() -> None:
    """Where keys are not known beforehand."""
    with pytest.raises(UsageError, match=r'^a setting is written key=value, as in peak=0\.2; got "peak"$'):
        key_values(["peak"], what="setting", example="peak=0.2")
