"""`--update` writes down what is decided now, to be read as a diff and committed."""


def pytest_addoption(parser):
    parser.addoption("--update", action="store_true", help="renew decided.yaml and why.txt of golden cases")
