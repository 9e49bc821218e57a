"""What a notebook user holds, and the ways by which it reaches a runtime: a server's, or one in this kernel."""
