"""Habits at a definition: docstrings, annotations, assertions, banners, guarded bodies."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import libcst as cst

from service.sample.habits import Habits
from service.sample.naming import words_of
from service.sample.statements import is_docstring
from service.sample.style import Style
from service.sample.wording import docstring_lines, summary_of

Body = list[cst.SimpleStatementLine | cst.BaseCompoundStatement]

_BLANK = cst.EmptyLine(indent=False)
_ENDINGS = (cst.Return, cst.Raise, cst.Pass)
_GUARDED = (cst.For, cst.While, cst.With, cst.SimpleStatementLine)
_WORDS = {
    "str": "name text path line prefix key msg message string url host encoding mode title",
    "bytes": "data buf",
    "int": "count size index length start end pos port level width",
    "float": "timeout",
    "list[Any]": "args values items",
    "list[str]": "lines names parts",
    "dict[str, Any]": "mapping options",
    "dict[str, str]": "headers",
}
_BY_WORD = {word: kind for kind, words in _WORDS.items() for word in words.split()}


@dataclass(slots=True)
class _Seen:
    """What a function's own body does."""

    values: list[cst.BaseExpression] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)
    yields: bool = False


class DefinitionHabits(Habits):
    """Rewrite definitions in a style. Runs after ``StatementHabits``."""

    def __init__(self, style: Style, rng: random.Random) -> None:
        super().__init__(style, rng)
        self._seen: list[_Seen] = []
        self._indent = 0

    def visit_IndentedBlock(self, node: cst.IndentedBlock) -> None:
        self._indent += 4

    def leave_IndentedBlock(
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        self._indent -= 4
        return updated_node

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self._seen.append(_Seen())

    def visit_Return(self, node: cst.Return) -> None:
        if node.value is not None and self._seen:
            self._seen[-1].values.append(node.value)

    def visit_Yield(self, node: cst.Yield) -> None:
        if self._seen:
            self._seen[-1].yields = True

    def visit_Raise(self, node: cst.Raise) -> None:
        if self._seen and isinstance(node.exc, cst.Call) and isinstance(node.exc.func, cst.Name):
            name = node.exc.func.value
            if name not in self._seen[-1].raised:
                self._seen[-1].raised.append(name)

    def leave_Assign(self, original_node: cst.Assign, updated_node: cst.Assign) -> cst.BaseSmallStatement:
        target, value = updated_node.targets[0].target, updated_node.value
        kinds = {
            cst.Dict: "dict[str, Any]",
            cst.List: "list[Any]",
            cst.SimpleString: "str",
            cst.Integer: "int",
        }
        kind = kinds.get(type(value))
        is_plain = len(updated_node.targets) == 1 and isinstance(target, cst.Name) and bool(self._seen)
        if self._style.annotations == "none" or kind is None or not is_plain or not self._keeps(0.8):
            return updated_node
        return cst.AnnAssign(target, cst.Annotation(cst.parse_expression(kind)), value)

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        found, body = _split_docstring(updated_node.body)
        lines = [f"{summary_of(updated_node.name.value, found)}."]
        if self._style.docstring in ("none", "banner"):
            lines = []
        return updated_node.with_changes(body=self._block(body, lines))

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        seen = self._seen.pop()
        name = updated_node.name.value
        found, body = _split_docstring(updated_node.body)
        parameters = _parameters(updated_node.params)
        body = self._finished(self._checked(body, parameters, name), seen)
        body = self._wrapped(body, name)
        is_told = self._keeps(0.35 if name.startswith("__") else 1.0)
        lines: list[str] = []
        above = list(updated_node.leading_lines)
        if is_told and self._style.docstring == "banner":
            above += _banner(name, summary_of(name, found)) if not self._seen else []
        elif is_told and self._style.docstring != "none":
            summary = summary_of(name, found)
            lines = docstring_lines(self._style, summary, parameters, bool(seen.values), seen.raised)
        done = updated_node.with_changes(body=self._block(body, lines, is_function=True), leading_lines=above)
        return self._annotated(done, seen) if self._style.annotations == "full" else done

    def _block(self, body: Body, docstring: list[str], is_function: bool = False) -> cst.IndentedBlock:
        """A body with its docstring in front and, where it is the habit, a blank line at its start."""
        indent = " " * (self._indent + 4)
        mark = ('"' if self._style.quote == "double" else "'") * 3
        first: Body = []
        if docstring:
            text = "\n".join([docstring[0], *(indent + line if line else "" for line in docstring[1:-1])])
            text += "\n" + indent + docstring[-1] if len(docstring) > 1 else ""
            first = [cst.SimpleStatementLine([cst.Expr(cst.SimpleString(mark + text + mark))])]
        has_blank = is_function and self._style.after_def == "blank" and self._keeps()
        if has_blank or (first and self._style.blanks == "dense" and self._style.docstring == "google"):
            body = _with_blank_above(body)
        return cst.IndentedBlock([*first, *body] or [_line("pass")])

    def _checked(self, body: Body, parameters: list[str], name: str) -> Body:
        if self._style.asserts == "none" or not parameters or name.startswith("__") or not self._keeps(0.7):
            return body
        return [
            _line(f"assert None is not {parameters[0]}, '{parameters[0]} is required'"),
            *_with_blank_above(body),
        ]

    def _finished(self, body: Body, seen: _Seen) -> Body:
        last = body[-1] if body else None
        ends = isinstance(last, cst.SimpleStatementLine) and isinstance(last.body[0], _ENDINGS)
        if self._style.returns == "implicit" or seen.yields or not body or ends or not self._keeps():
            return body
        return [*body, _line("return None").with_changes(leading_lines=[_BLANK])]

    def _wrapped(self, body: Body, name: str) -> Body:
        """The last working statement of a body of three or more, inside ``try`` with a logged exception."""
        if self._style.raises != "guarded" or len(body) < 3 or not self._keeps():
            return body
        i = next((i for i in reversed(range(1, len(body))) if isinstance(body[i], _GUARDED)), None)
        if i is None:
            return body
        statement = body[i]
        above = statement.leading_lines
        words = " ".join(words_of(name)) or "run"
        log = _line(f'logger.exception("Failed to {words}")')
        handler = cst.ExceptHandler(
            body=cst.IndentedBlock([log, _line("raise")]),
            type=cst.Name("Exception"),
            whitespace_after_except=cst.SimpleWhitespace(" "),
        )
        block = cst.Try(cst.IndentedBlock([statement.with_changes(leading_lines=[])]), handlers=[handler])
        return [*body[:i], block.with_changes(leading_lines=above), *body[i + 1 :]]

    def _annotated(self, function: cst.FunctionDef, seen: _Seen) -> cst.FunctionDef:
        params = function.params
        typed = params.with_changes(
            params=[self._typed(param) for param in params.params],
            kwonly_params=[self._typed(param) for param in params.kwonly_params],
            posonly_params=[self._typed(param) for param in params.posonly_params],
            star_arg=self._typed(params.star_arg)
            if isinstance(params.star_arg, cst.Param)
            else params.star_arg,
            star_kwarg=self._typed(params.star_kwarg) if params.star_kwarg else None,
        )
        kind = _returned(seen)
        returns = cst.Annotation(cst.parse_expression(kind)) if self._keeps() else None
        return function.with_changes(params=typed, returns=returns)

    def _typed(self, param: cst.Param) -> cst.Param:
        if param.name.value in ("self", "cls", "mcs") or not self._keeps():
            return param
        kind = _type_of(param)
        equal = (
            cst.AssignEqual(cst.SimpleWhitespace(" "), cst.SimpleWhitespace(" "))
            if param.default
            else param.equal
        )
        return param.with_changes(annotation=cst.Annotation(cst.parse_expression(kind)), equal=equal)


def _split_docstring(suite: cst.BaseSuite) -> tuple[str | None, Body]:
    body = [s for s in suite.body if isinstance(s, cst.SimpleStatementLine | cst.BaseCompoundStatement)]
    if not body or not is_docstring(body[0]):
        return None, body
    expression = cst.ensure_type(cst.ensure_type(body[0], cst.SimpleStatementLine).body[0], cst.Expr)
    return cst.ensure_type(expression.value, cst.SimpleString).raw_value, body[1:]


def _parameters(params: cst.Parameters) -> list[str]:
    every = [*params.posonly_params, *params.params, *params.kwonly_params]
    return [p.name.value for p in every if p.name.value not in ("self", "cls", "mcs", "_")]


def _with_blank_above(body: Body) -> Body:
    if not body or (body[0].leading_lines and body[0].leading_lines[0].comment is None):
        return body
    return [body[0].with_changes(leading_lines=[_BLANK, *body[0].leading_lines]), *body[1:]]


def _line(code: str) -> cst.SimpleStatementLine:
    return cst.ensure_type(cst.parse_statement(code), cst.SimpleStatementLine)


def _banner(name: str, summary: str) -> list[cst.EmptyLine]:
    rule = "#" + "=" * 58
    return [cst.EmptyLine(comment=cst.Comment(text)) for text in (rule, f"# {name} -- {summary}", rule)]


def _type_of(param: cst.Param) -> str:
    default = param.default
    words = words_of(param.name.value)
    guess = next((_BY_WORD[word] for word in reversed(words) if word in _BY_WORD), "Any")
    if isinstance(default, cst.Name):
        return {"None": f"{guess} | None", "True": "bool", "False": "bool"}.get(default.value, guess)
    if isinstance(default, cst.SimpleString):
        return "bytes" if "b" in default.prefix else "str"
    return "int" if isinstance(default, cst.Integer) else guess


def _returned(seen: _Seen) -> str:
    if seen.yields:
        return "Iterator[Any]"
    kinds = {_type_of_value(value) for value in seen.values}
    return kinds.pop() if len(kinds) == 1 else "Any" if kinds else "None"


def _type_of_value(value: cst.BaseExpression) -> str:
    if isinstance(value, cst.Comparison) or (
        isinstance(value, cst.Name) and value.value in ("True", "False")
    ):
        return "bool"
    if isinstance(value, cst.Tuple):
        return "tuple[Any, ...]"
    named = {
        cst.SimpleString: "str", cst.FormattedString: "str", cst.Integer: "int", cst.List: "list[Any]",
        cst.ListComp: "list[Any]", cst.Dict: "dict[str, Any]", cst.DictComp: "dict[str, Any]",
    }  # fmt: skip
    return named.get(type(value), "Any")
