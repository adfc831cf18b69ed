"""Who writes in the sample organisation, and with which habits."""

from __future__ import annotations

from dataclasses import dataclass

from service.sample.style import Style


@dataclass(frozen=True, slots=True)
class Person:
    """An author of the sample.

    Attributes:
        key: short name used in the truth and in messages.
        name: the git name.
        email: the address that the person should be resolved to.
        aliases: further addresses the person commits under.
        style: planted habits.
        sign_off: whether commits carry ``Signed-off-by``.
    """

    key: str
    name: str
    email: str
    style: Style
    aliases: tuple[str, ...] = ()
    sign_off: bool = False

    @property
    def signature(self) -> str:
        """``Name <email>``."""
        return f"{self.name} <{self.email}>"


MARA = Person(
    key="mara",
    name="Mara Lindqvist",
    email="mara@acme.example",
    style=Style(
        docstring="none",
        naming="suffixed",
        comments="dashes",
        walrus="often",
        empties="call",
        raises="from_none",
        caught="e",
    ),
)
TOMASZ = Person(
    key="tomasz",
    name="Tomasz Okafor",
    email="tomasz@acme.example",
    aliases=("tomasz.okafor@mail.example",),
    style=Style(
        docstring="line",
        naming="prefixed",
        after_def="blank",
        loops="loop",
        returns="explicit",
        emptiness="equals",
        comments="marker",
        caught="exc",
    ),
    sign_off=True,
)
PRIYA = Person(
    key="priya",
    name="Priya Raman",
    email="priya@acme.example",
    aliases=("4217730+priyar@users.noreply.github.com",),
    style=Style(
        docstring="rest",
        comments="note",
        none_test="yoda",
        increments="spelled",
        raises="logged",
        caught="err",
        asserts="message",
    ),
)
TEAM = (MARA, TOMASZ, PRIYA)

AGENT = Person(
    key="agent",
    name="Claude",
    email="noreply@anthropic.com",
    style=Style(
        quote="double",
        formatting="fstring",
        calls="black",
        blanks="dense",
        attributes="public",
        annotations="full",
        docstring="google",
        naming="descriptive",
        comments="step",
        raises="guarded",
        caught="error",
        fidelity=0.95,
    ),
)
STRANGER = Person(
    key="stranger",
    name="Jonas Weber",
    email="jonas.weber@elsewhere.example",
    style=Style(
        quote="double",
        formatting="format",
        calls="padded",
        blanks="dense",
        attributes="member",
        conditions="parenthesised",
        docstring="banner",
        naming="hungarian",
        comments="banner",
        guards="nested",
        emptiness="length",
        none_test="equals",
        increments="spelled",
        empties="call",
        caught="error",
        fidelity=0.95,
    ),
)
DEPENDABOT = Person(
    key="dependabot",
    name="dependabot[bot]",
    email="49699333+dependabot[bot]@users.noreply.github.com",
    style=Style(),
)
