"""What the tests of the portal stand on: the same desk and the same Chromium as those of the dashboard."""

from tests.web.admin.conftest import browser, chromium_address
from tests.web.api.conftest import flagged, front, logged, open_for_business

__all__ = ["browser", "chromium_address", "flagged", "front", "logged", "open_for_business"]
