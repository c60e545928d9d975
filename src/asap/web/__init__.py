"""What every local page needs: access control, files of the page, requests in JSON."""

from asap.web.local_auth import BODY_LIMIT, TOKEN_HEADER, LocalAuth
from asap.web.pages import PageFiles, read_object

__all__ = ["BODY_LIMIT", "TOKEN_HEADER", "LocalAuth", "PageFiles", "read_object"]
