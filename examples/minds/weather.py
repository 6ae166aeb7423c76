"""A weather service over HTTP: `GET /weather?city=Oslo`. Made-up weather, for the example."""

import argparse

import uvicorn
from fastapi import FastAPI, HTTPException

WEATHER = {"oslo": "light snow, minus 2 degrees", "lisbon": "sunny, 19 degrees"}

app = FastAPI()


@app.get("/weather")
def weather(city: str) -> dict[str, str]:
    """Give the weather of a city."""
    if (now := WEATHER.get(city.strip().lower())) is None:
        raise HTTPException(404, f"no weather for {city}")
    return {"city": city, "weather": now}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8090)
    uvicorn.run(app, port=parser.parse_args().port, log_level="warning")
