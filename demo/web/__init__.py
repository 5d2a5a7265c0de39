"""The recogniser in a browser: one page, served with a bundle by `python -m demo.web BUNDLE`; see docs/browser.md."""
