"""Text between two marker lines of a Markdown file."""


class Section:
    """The part of a file that `make bench-...` writes."""

    def __init__(self, name):
        self.begin, self.end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"

    def missing(self, path):
        """A sentence if the file has no such part, else None."""
        text = path.read_text()
        return None if self.begin in text and self.end in text else f"{path} has no lines {self.begin} and {self.end}"

    def write(self, path, lines):
        before, rest = path.read_text().split(self.begin)
        after = rest.split(self.end)[1]
        path.write_text("\n".join([before + self.begin, *lines, self.end + after]))
