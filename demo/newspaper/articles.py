"""The newspaper's articles: one text file each, read once."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).with_name("articles")
WORDS_A_MINUTE = 220


class Block(NamedTuple):
    """One paragraph; ``kind`` is p, h2 or blockquote."""

    kind: str
    text: str


@dataclass(frozen=True)
class Article:
    """``picture`` is a file of ours with its words: (name, alternative text, caption)."""

    slug: str
    title: str
    standfirst: str
    section: str
    author: str
    about: str
    lang: str
    published: datetime
    picture: tuple[str, str, str] | None
    blocks: tuple[Block, ...]

    @property
    def minutes(self) -> int:
        """How long it takes to read."""
        words = sum(len(block.text.split()) for block in self.blocks)
        return max(1, ceil(words / WORDS_A_MINUTE))

    @property
    def initials(self) -> str:
        return "".join(name[0] for name in self.author.split())


def load_articles(now: datetime) -> dict[str, Article]:
    """Read every article, newest first; each file says how many hours old it is ``now``."""
    articles = [_read(path, now) for path in FOLDER.glob("*.txt")]
    articles.sort(key=lambda article: article.published, reverse=True)
    return {article.slug: article for article in articles}


def _read(path: Path, now: datetime) -> Article:
    """Parse lines of ``name: value`` up to an empty line, then paragraphs."""
    head, _, body = path.read_text(encoding="utf-8").partition("\n\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    picture = fields.get("picture")
    return Article(
        slug=path.stem,
        title=fields["title"],
        standfirst=fields["standfirst"],
        section=fields["section"],
        author=fields["author"],
        about=fields["about"],
        lang=fields.get("lang", "en"),
        published=now - timedelta(hours=float(fields["hours"])),
        picture=(picture, fields["picture-alt"], fields["caption"]) if picture else None,
        blocks=tuple(_block(text) for text in body.strip().split("\n\n")),
    )


def _block(text: str) -> Block:
    for mark, kind in (("## ", "h2"), ("> ", "blockquote")):
        if text.startswith(mark):
            return Block(kind, text.removeprefix(mark))
    return Block("p", text)
