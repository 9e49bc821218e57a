"""What tests of coder-nb and of its extensions share: conformance suites and scripted agents."""
