"""What people read about the settings is what the settings are."""

from payflow.config import NAMES, load
from tests.cli import settings_page

AGAIN = "write it again: python -m tests.cli.settings_page"


def test_the_example_has_every_setting_with_its_default_and_meaning() -> None:
    assert settings_page.EXAMPLE.read_text() == settings_page.example(), AGAIN


def test_the_readme_has_every_setting_with_its_default_and_meaning() -> None:
    readme = settings_page.README.read_text()
    assert readme == settings_page.with_table(readme), AGAIN


def test_no_setting_is_left_out() -> None:
    assert [setting.name for setting in settings_page.settings()] == list(NAMES)


def test_the_example_made_to_count_changes_nothing() -> None:
    written = load(settings_page.defaults()).model_dump(exclude={"worker_name"})
    assert written == load({}).model_dump(exclude={"worker_name"})


def test_every_setting_says_what_it_is_in_whole_sentences() -> None:
    for setting in settings_page.settings():
        assert setting.means[0].isupper() or setting.means.startswith("host:port"), setting
        assert setting.means.endswith("."), setting
