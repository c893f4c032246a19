"""`python -m gradthru_sweep STUDY.toml --program PATH`, which is what `gradthru sweep` calls."""

import importlib.util
import pathlib
import sys

MODULES = {"optuna": "Optuna", "rich": "Rich", "vl_convert": "vl-convert", "scipy": "SciPy"}


def main() -> int:
    if sys.version_info < (3, 11):
        return refuse(
            f"sweep wants Python 3.11 or newer, got {sys.version.split()[0]} ({sys.executable}); "
            "GRADTHRU_PYTHON names another"
        )
    missing = [name for module, name in MODULES.items() if importlib.util.find_spec(module) is None]
    if missing:
        wanted = (pathlib.Path(__file__).parent / "requirements.txt").read_text().split()
        return refuse(
            f"sweep needs {', '.join(missing)}, which {sys.executable} does not have: "
            f"{sys.executable} -m pip install {' '.join(wanted)}"
        )
    try:
        # After the checks: these modules need what was looked for.
        from gradthru_sweep import command

        return command.main(sys.argv[1:])
    except KeyboardInterrupt:
        return 130


def refuse(why: str) -> int:
    print(f"gradthru: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
