"""The command line: parses and calls steps; nothing else."""

import logging
import sys
from typing import Any

import click

from cxr import __version__
from cxr.cli import service, steps
from cxr.errors import CxrError


class _Commands(click.Group):
    """Prints what a user can act on as one line, and lets defects keep their traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CxrError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--quiet", is_flag=True, help="Warnings only.")
def main(quiet: bool) -> None:
    """Chest X-ray classification: every step of the pipeline as a command.

    A step reads and writes folders of the last run unless told otherwise; `ingest` writes ./studies.
    """
    level = logging.WARNING if quiet else logging.INFO
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)


class _Late(click.Group):
    """A group whose commands are imported when one of them is asked for."""

    def __init__(self, module: str, **given: Any) -> None:
        super().__init__(**given)
        self._module = module

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self._group().list_commands(ctx)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return self._group().get_command(ctx, name)

    def _group(self) -> click.Group:
        import importlib

        group: click.Group = getattr(importlib.import_module(self._module), str(self.name))
        return group


for command in (*steps.COMMANDS, *service.COMMANDS):
    main.add_command(command)
main.add_command(_Late("cxr.serving.security.commands", name="keys", help="API keys of the service."))
main.add_command(_Late("cxr.serving.audit.commands", name="audit", help="The service's audit trail."))
