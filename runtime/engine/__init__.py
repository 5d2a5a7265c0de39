"""The ticket engine: a small C++ library that runs `model.ticket` without onnxruntime, and its Python half.

`build` compiles the library, `library` loads it, `session` makes it a Session. `import runtime.engine` alone costs
nothing: setup.py imports it before any other package is installed.
"""
