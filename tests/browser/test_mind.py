"""A persona with a mind on the page: the question, what a tool looked up, and the answer."""

import re

import pytest
from playwright.async_api import Browser, expect

from harness.language_model import looks_up, scripted_model
from tests.browser.conftest import open_visit
from tests.worker.mind.stack import HOURS, QUESTION, start_minded

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_typed_question_is_looked_up_and_answered(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Between the person's bubble and the persona's a note says what was looked up."""
    with start_minded(tmp_path_factory.mktemp("minded")) as minded:
        async with (
            scripted_model(minded.model_port) as model,
            open_visit(browser, minded.stack) as visit,
        ):
            model.otherwise = looks_up("opening_hours", {"day": "sunday"})
            await visit.call("Robin, at the shop")
            await visit.type(QUESTION)
            lines = visit.page.locator(".transcript .scroll > *")
            await expect(lines).to_have_count(3)
            await visit.sees(HOURS)
            question, note, answer = await lines.all_inner_texts()

            assert QUESTION in question and HOURS in answer
            assert re.match(r"looked up: opening hours · \d+\.\d s", note)
            assert visit.complaints == []
