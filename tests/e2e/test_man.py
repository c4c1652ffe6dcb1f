"""The man pages name the options that --help does, no more and no fewer."""

import re
import subprocess

import pytest

from conftest import BUILD, ROOT


def said(*command):
    got = subprocess.run([str(BUILD / command[0]), *command[1:]],
                         capture_output=True, text=True, timeout=60)
    assert got.returncode == 0, got.stderr
    return got.stdout


def options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text))


def page(name):
    return (ROOT / "man" / name).read_text().replace(r"\-", "-")


@pytest.mark.parametrize("program", ["modeld", "modeld-llama"])
def test_a_daemons_page_has_the_options_of_its_help(program):
    assert options(page(f"{program}.8")) == options(said(program, "--help"))


def test_the_cli_page_has_every_command_and_its_flags():
    text = page("docker-model.1")
    commands = re.findall(r"^  ([a-z]+)\b", said("docker-model", "help"), re.M)
    sections = dict(re.findall(
        r"^\.TP\n\.BI? \"?([a-z]+)(.*?)(?=^\.TP|^\.SH)", text, re.M | re.S))
    assert set(commands) == set(sections)
    for name, section in sections.items():
        flags = options(said("docker-model", name, "--help")) - {"--help"}
        assert options(section) == flags, name


def test_modeld_dockers_page_has_every_command_and_their_options():
    text = page("modeld-docker.8")
    commands = re.findall(r"^  ([a-z]+) ", said("modeld-docker", "--help"), re.M)
    section = re.search(r"^\.SH COMMANDS(.*?)^\.SH", text, re.M | re.S)[1]
    assert set(commands) == set(re.findall(r"^\.TP\n\.BR? \"?([a-z]+)", section, re.M))
    flags = set()
    for name in commands:
        flags |= options(said("modeld-docker", name, "--help"))
    assert flags - {"--version"} == options(
        re.search(r"^\.SH OPTIONS(.*?)^\.SH", text, re.M | re.S)[1]) - {"--version", "--now"}
