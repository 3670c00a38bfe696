"""Rules of the repository as ordinary tests. Each rule is a function from files to complaints, and each has a test
that feeds it a planted violation: a rule that cannot fail proves nothing."""
