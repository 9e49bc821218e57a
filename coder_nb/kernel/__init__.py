"""The IPython extension: `%coder`, the awaited `%%coder`, and the completion of both."""
