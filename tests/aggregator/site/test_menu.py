from aggregator.core.permissions import Role, role_actions
from aggregator.site.menu import MENU, entry, menu_for


def labels(role: Role, kind: str) -> list[str]:
    return [item.label for item in menu_for(role_actions(role, kind))]


class TestMenuFor:
    def test_shows_a_market_operator_neither_network_nor_fleet(self):
        assert labels(Role.MARKET_OPERATOR, "market_operator") == [
            "Overview",
            "Markets",
            "Orders",
            "Nominations",
            "Control groups",
            "Control acts",
            "Products",
            "Statements",
            "Invoices",
            "Findings",
            "Log",
        ]

    def test_shows_a_dsrsp_its_fleet_and_no_network(self):
        assert labels(Role.OPERATOR, "dsrsp") == [
            "Overview",
            "Fleet",
            "Markets",
            "Orders",
            "Nominations",
            "Control groups",
            "Runs",
            "Products",
            "Statements",
            "Invoices",
            "Baselines",
            "Volumes",
            "Findings",
            "Log",
        ]

    def test_shows_nothing_to_who_may_do_nothing(self):
        assert menu_for(frozenset()) == ()


class TestEntry:
    def test_marks_the_page_itself_and_pages_below_it(self):
        network = next(item for item in MENU if item.label == "Network")

        assert entry(network, url="/network/", path="/network/").current == "page"
        assert entry(network, url="/network/", path="/network/F1/").current == "true"
        assert entry(network, url="/network/", path="/runs/").current == ""

    def test_of_the_first_page_has_no_pages_below(self):
        assert entry(MENU[0], url="/", path="/network/").current == ""
