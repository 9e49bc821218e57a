"""The verbs over the wire: REST and the WebSocket of a Jupyter server, from a kernel beside it."""

from __future__ import annotations

from coder_nb.client.verbs.answering import Answering
from coder_nb.client.verbs.attention import Attending
from coder_nb.client.verbs.copies import Copies
from coder_nb.client.verbs.ends import Ends
from coder_nb.client.verbs.insight import Insight
from coder_nb.client.verbs.pooling import Pooling
from coder_nb.client.verbs.prompting import Prompting
from coder_nb.client.verbs.reading import Reading
from coder_nb.client.verbs.reviewing import Reviewing
from coder_nb.client.verbs.ruling import Ruling
from coder_nb.client.verbs.sessions import Sessions


class Remote(Sessions, Prompting, Answering, Ruling, Reading, Reviewing, Copies, Ends, Insight, Attending, Pooling):
    """A server's runtime, reached with the token of its connection file: implements `core.verbs.Verbs`."""
