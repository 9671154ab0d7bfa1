"""Completion of `%sky`, `%%sky` and `!skynb` by the click tree itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

IDENTIFIER = "skynb.sky"
_LINE = re.compile(r"\s*(?:(?:[\w.\[\]]+\s*=\s*)?%sky|%%sky|!skynb)\s+(.*)", re.DOTALL)
_NOTHING: dict[str, Any] = {"completions": [], "suppress": False}


def matcher() -> Callable[[Any], Any]:
    """What goes into IPython's list of matchers."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher(identifier=IDENTIFIER)
    def sky(context: Any) -> Any:
        found = _LINE.fullmatch(context.line_with_cursor)
        if found is None or (context.cursor_line > 0 and "%%" in context.full_text.partition("\n")[0]):
            return _NOTHING
        items, fragment = complete(found.group(1))
        completions = [
            SimpleCompletion(text=item.value, type="param" if item.value.startswith("-") else "value")
            for item in items
        ]
        return {"completions": completions, "matched_fragment": fragment, "suppress": True, "ordered": True}

    return sky


def remove(shell: Any) -> None:
    """Take the matcher out of IPython's list."""
    matchers = shell.Completer.custom_matchers
    matchers[:] = [one for one in matchers if getattr(one, "matcher_identifier", "") != IDENTIFIER]


def complete(text: str) -> tuple[list[CompletionItem], str]:
    """What may stand at the end of a command line, and the fragment that it would replace."""
    from click.shell_completion import ShellComplete, split_arg_string

    from skynb.cli.tree import tree

    words = split_arg_string(text)
    fragment = words.pop() if words and not text[-1].isspace() else ""
    items = ShellComplete(tree, {}, "sky", "_SKY").get_completions(words, fragment)
    name, given, value = fragment.partition("=")
    return items, value if given and name.startswith("--") else fragment
