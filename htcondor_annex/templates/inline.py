"""Makes one text of the lease function's two modules, for CloudFormation to inline. Pure.

AWS Lambda takes one file from a template (`Code.ZipFile`); we want what decides apart from what
calls AWS. Imports are gathered at the top, what is ours to import stands in the text itself.
"""

import ast
from collections.abc import Sequence

__all__ = ["one_text"]

_OURS = "htcondor_annex"


def _is_ours(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == _OURS


def _body(text: str) -> tuple[list[ast.stmt], str]:
    """Return a module's imports, and its text without them and without its docstring."""
    lines = text.splitlines()
    tree = ast.parse(text)
    imports: list[ast.stmt] = [
        node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    first = tree.body[0]
    taken = [*imports, first] if ast.get_docstring(tree) is not None else imports
    for node in taken:
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
            lines[number - 1] = ""
    return imports, "\n".join(lines).strip("\n")


def _merged(imports: Sequence[ast.stmt]) -> list[str]:
    """Return import lines in the usual order: the standard library, then others."""
    plain: set[str] = set()
    names: dict[str, set[str]] = {}
    for node in imports:
        if isinstance(node, ast.Import):
            plain |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.setdefault(node.module or "", set()).update(one.name for one in node.names)
    lines = {f"import {name}": name for name in plain}
    lines |= {
        f"from {module} import {', '.join(sorted(some))}": module for module, some in names.items()
    }
    others = {
        line for line, module in lines.items() if module.split(".")[0] in {"boto3", "botocore"}
    }

    def ordered(some: set[str]) -> list[str]:
        return sorted(some, key=lambda line: (line.startswith("from"), lines[line]))

    return [*ordered(lines.keys() - others), "", *ordered(others)]


def one_text(*modules: str) -> str:
    """Return the text of several modules as one; the last one's docstring is the whole's.

    Args:
        modules: Their texts, each importing from those before it by name alone.
    """
    parts = [_body(text) for text in modules]
    imports = [node for nodes, _ in parts for node in nodes if not _is_ours(node)]
    doc = ast.get_docstring(ast.parse(modules[-1]), clean=False)
    texts = "\n\n\n".join(text for _, text in parts)
    return f'"""{doc}"""\n\n' + "\n".join(_merged(imports)) + "\n\n" + texts + "\n"
