"""The extension in a Jupyter Server, and the server of `mozart dashboard`: both answer, and only to those who may."""

from __future__ import annotations

from support.web import Web


def test_whoever_opens_the_printed_address_is_signed_in_and_a_browser_loses_the_token_from_it(web: Web) -> None:
    as_browser = {"Sec-Fetch-Mode": "navigate"}
    answer = web.ask(f"/mozart?token={web.token}&page=2", headers=as_browser, signed_in=False)
    assert (answer.status, answer.headers["location"]) == (302, f"{web.base}/mozart?page=2")
    assert web.token not in str(dict(answer.headers))


def test_a_page_without_token_leads_to_the_login_page_and_the_api_refuses(web: Web) -> None:
    page = web.ask("/mozart", signed_in=False)
    assert (page.status, page.headers["location"]) == (302, "/login?next=%2Fmozart")
    api = web.ask("/mozart/api/nothing", signed_in=False)
    assert (api.status, api.json()) == (403, {"title": "Forbidden", "status": 403})


def test_what_is_not_there_is_a_problem_document_for_programs_and_a_page_for_people(web: Web) -> None:
    api = web.ask("/mozart/api/nothing")
    assert (api.status, api.headers["content-type"]) == (404, "application/problem+json")
    assert api.json() == {"title": "Not Found", "status": 404, "detail": "There is nothing at this address."}
    page = web.ask("/mozart/nothing")
    assert (page.status, page.headers["content-type"]) == (404, "text/html; charset=UTF-8")
    assert "There is no page at this address." in page.text


def test_what_changes_something_needs_the_token_against_forged_requests(web: Web) -> None:
    cookies = web.sign_in()
    forged = web.ask("/mozart/api/nothing", "POST", headers={"Cookie": cookies.header}, document={}, signed_in=False)
    assert forged.status == 403
    assert "_xsrf" in forged.json()["detail"]
    ours = {"Cookie": cookies.header, "X-XSRFToken": cookies.xsrf}
    assert web.ask("/mozart/api/nothing", "POST", headers=ours, document={}, signed_in=False).status == 404
