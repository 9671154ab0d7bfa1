"""IPython magics and rich displays over skynb."""
