"""Flags: what they set where they are left out, and those that only print."""

from serving import cli
from serving.config import BATCHING_THREADS, THREADS
from serving.server import flags


def test_the_versions_are_printed_and_the_exit_code_is_0(capsys):
    for line in (["--version"], ["-version"], ["--version=true", "--port=1"]):
        assert cli.main(line) == 0
        assert capsys.readouterr().out.startswith("Servable ModelServer: ")


def test_models_of_the_workspace_are_joined_unless_a_flag_says_how(tmp_path):
    base = f"--model_base_path={tmp_path}"
    for arguments, repository, joins, batches in (
        ([], tmp_path, True, False),
        (["--enable_batching"], tmp_path, False, True),
        (["--enable_batching=false"], tmp_path, False, False),
        ([base], tmp_path, False, False),
        ([base], None, False, False),
        ([base, "--enable_batching"], None, False, True),
    ):
        options = flags.parse(arguments, repository).options
        assert (options.auto_batching, options.batching) == (joins, batches), arguments
        assert options.request_threads == (BATCHING_THREADS if joins or batches else THREADS)
