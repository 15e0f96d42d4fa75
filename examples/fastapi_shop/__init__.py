"""The shop's checkout as a FastAPI application: `python -m examples.fastapi_shop`."""
