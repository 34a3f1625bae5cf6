"""What --help shows, read from the sources: JAX, orbax and TFDS take seconds to load, for which nobody should wait."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
HELP = {"--help", "-help", "-h", "--helpshort"}
NO_EXPERIMENTS = ("__init__", "recipe")  # of configs/: what the others share
RECORDS = {
    "config": ("occrobnet_jax/runs/experiment.py", "Experiment"),
    "config.recipe": ("occrobnet_jax/runs/experiment.py", "RecipeConfig"),
    "config.hosts": ("occrobnet_jax/parallel/hosts.py", "HostsConfig"),
    "config.mesh": ("occrobnet_jax/parallel/mesh.py", "MeshConfig"),
    "config.model": ("occrobnet_jax/models/config.py", "ModelConfig"),
    "config.data": ("input_pipeline/config.py", "DataConfig"),
    "config.loss": ("occrobnet_jax/runs/experiment.py", "LossConfig"),
    "config.optimizer": ("occrobnet_jax/runs/experiment.py", "OptimizerConfig"),
    "config.wandb": ("occrobnet_jax/runs/experiment.py", "WandbConfig"),
}
"""Where the settings of each group are declared."""


def answer_help(module: str) -> None:
    """Show the help of a script and end, if that is what its command line asks for and it is the program."""
    if module == "__main__" and HELP & set(sys.argv[1:]):
        print(help_of(Path(sys.argv[0]).name))
        sys.exit(0)


def help_of(script: str) -> str:
    """Return what a script does, its flags, and of one that has --config the files and settings there are."""
    tree = ast.parse((REPOSITORY / script).read_text())
    flags = dict(_flags(tree))
    lines = [ast.get_docstring(tree) or "", "", "flags:", *(f"  --{name}: {words}" for name, words in flags.items())]
    if "config" in flags:
        files = sorted(path for path in (REPOSITORY / "configs").glob("*.py") if path.stem not in NO_EXPERIMENTS)
        lines += ["", "--config is one of:", *(f"  configs/{path.name}: {_first_line(path)}" for path in files)]
        lines += ["", "Its settings, each --NAME=VALUE, with their defaults:", *_settings()]
    return "\n".join(lines)


def _flags(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield name and help of the flags that a script defines, those of `command_line` that it calls among them."""
    shared = ast.parse((REPOSITORY / "occrobnet_jax" / "command_line.py").read_text())
    definers = {node.name: node for node in shared.body if isinstance(node, ast.FunctionDef)}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if name in definers and name.startswith("define_"):
            yield from _flags(ast.Module(list(definers[name].body), []))
        elif name.startswith("DEFINE_"):
            constants = (node.value for node in ast.walk(call) if isinstance(node, ast.Constant))
            texts = [value for value in constants if isinstance(value, str)]
            yield texts[0], texts[-1]


def _settings() -> Iterator[str]:
    for prefix, (file, record) in RECORDS.items():
        text = (REPOSITORY / file).read_text()
        (found,) = (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == record)
        for field in (node for node in found.body if isinstance(node, ast.AnnAssign)):
            if not ast.unparse(field.annotation).endswith("Config"):
                line = " ".join(text.splitlines()[field.lineno - 1].split())
                yield f"  --{prefix}.{line}"


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
