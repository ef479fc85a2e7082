"""The harness itself: what it is to catch, it catches."""


class TestVisit:
    def test_notices_a_request_to_elsewhere(self, browser_page):
        browser_page.opened("/login/")
        browser_page.page.evaluate("() => { const image = new Image(); image.src = 'http://elsewhere.example/x.png'; }")
        browser_page.page.wait_for_timeout(300)

        problems = [*browser_page.problems]
        browser_page.problems.clear()
        assert any("elsewhere.example" in problem for problem in problems)

    def test_notices_what_the_content_security_policy_refuses(self, browser_page):
        browser_page.opened("/login/")
        browser_page.page.evaluate("() => { document.body.innerHTML = '<p style=\"color: red\">x</p>'; }")
        browser_page.page.wait_for_timeout(300)

        problems = [*browser_page.problems]
        browser_page.problems.clear()
        assert any("Content Security Policy" in problem for problem in problems)

    def test_notices_a_script_that_fails(self, browser_page):
        browser_page.opened("/login/")
        browser_page.page.evaluate("() => { setTimeout(() => { throw new Error('broken'); }, 0); }")
        browser_page.page.wait_for_timeout(300)

        problems = [*browser_page.problems]
        browser_page.problems.clear()
        assert any("broken" in problem for problem in problems)

    def test_notices_what_cannot_be_read(self, browser_page):
        browser_page.opened("/login/")
        browser_page.page.evaluate(
            "() => { document.querySelector('main').innerHTML = '<img src=\"/x.png\"><p></p>'; }"
        )

        assert any(line.startswith("image-alt") for line in browser_page.violations())
        browser_page.problems.clear()
