"""A soak run: bounded load, nights, deploys and scripted faults for hours, and a report of what was lost or drifted."""
