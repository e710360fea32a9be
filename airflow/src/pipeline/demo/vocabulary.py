"""The words of demo datasets: topics, their niches, places, providers."""

# Each topic's niches: the subject of the data, and related words.
TOPICS: dict[str, dict[str, tuple[str, ...]]] = {
    "transport": {
        "bus GPS traces": ("bus", "gps", "route", "timetable", "delay"),
        "metro passenger flow": ("metro", "station", "ridership", "gate", "peak"),
        "highway toll records": ("highway", "toll", "truck", "axle", "plaza"),
        "bike sharing trips": ("bike", "dock", "trip", "rebalancing", "ride"),
        "air traffic movements": ("flight", "airport", "runway", "arrival", "adsb"),
    },
    "weather": {
        "hourly weather observations": ("temperature", "humidity", "observation", "gauge", "hourly"),
        "rain radar composites": ("rain", "radar", "reflectivity", "precipitation", "nowcast"),
        "typhoon best tracks": ("typhoon", "track", "intensity", "landfall", "pressure"),
        "solar irradiance grid": ("solar", "irradiance", "cloud", "satellite", "grid"),
        "air quality readings": ("pm25", "ozone", "sensor", "aqi", "emission"),
    },
    "finance": {
        "consumer credit panel": ("credit", "loan", "default", "score", "repayment"),
        "equity tick data": ("equity", "tick", "order", "quote", "exchange"),
        "company filings": ("filing", "balance", "revenue", "audit", "shareholder"),
        "card spending index": ("card", "spending", "merchant", "consumption", "index"),
        "insurance claims": ("insurance", "claim", "policy", "premium", "actuarial"),
    },
    "health": {
        "hospital admissions": ("hospital", "admission", "diagnosis", "ward", "discharge"),
        "chest x-ray images": ("xray", "radiology", "lung", "annotation", "dicom"),
        "drug sales by pharmacy": ("pharmacy", "drug", "prescription", "dosage", "generic"),
        "wearable heart rates": ("wearable", "heart", "activity", "sleep", "wristband"),
        "epidemic surveillance": ("epidemic", "influenza", "surveillance", "outbreak", "vaccine"),
    },
    "retail": {
        "supermarket baskets": ("basket", "supermarket", "sku", "checkout", "promotion"),
        "online product reviews": ("review", "rating", "sentiment", "product", "seller"),
        "commodity price quotes": ("wholesale", "vegetable", "quote", "market", "farmgate"),
        "store footfall counts": ("footfall", "mall", "visitor", "dwell", "store"),
        "food delivery orders": ("delivery", "courier", "restaurant", "order", "meal"),
    },
    "energy": {
        "smart meter readings": ("meter", "household", "load", "kilowatt", "tariff"),
        "wind farm output": ("wind", "turbine", "output", "curtailment", "farm"),
        "charging station sessions": ("charging", "vehicle", "battery", "connector", "session"),
        "power market prices": ("spot", "auction", "power", "dispatch", "settlement"),
        "pipeline gas flows": ("gas", "pipeline", "compressor", "storage", "flow"),
    },
    "geography": {
        "building footprints": ("building", "footprint", "polygon", "height", "rooftop"),
        "land cover maps": ("land", "cover", "sentinel", "raster", "classification"),
        "points of interest": ("poi", "category", "address", "geocode", "brand"),
        "population density grid": ("population", "census", "density", "age", "cell"),
        "river water levels": ("river", "level", "flood", "hydrology", "basin"),
    },
    "industry": {
        "machine vibration logs": ("vibration", "bearing", "fault", "spindle", "maintenance"),
        "steel surface defects": ("steel", "defect", "surface", "inspection", "camera"),
        "factory energy audits": ("factory", "audit", "boiler", "efficiency", "carbon"),
        "patent full texts": ("patent", "claimant", "invention", "citation", "assignee"),
        "customs trade records": ("customs", "export", "import", "tariffcode", "container"),
    },
    "language": {
        "call centre dialogues": ("dialogue", "agent", "intent", "transcript", "customer"),
        "speech recordings": ("speech", "dialect", "microphone", "speaker", "phoneme"),
        "news articles": ("news", "headline", "article", "publisher", "event"),
        "legal judgments": ("court", "judgment", "statute", "plaintiff", "verdict"),
        "parallel sentences": ("translation", "sentence", "bilingual", "corpus", "alignment"),
    },
    "recruitment": {
        "job postings": ("job", "posting", "skill", "employer", "vacancy"),
        "salary surveys": ("salary", "wage", "bonus", "survey", "percentile"),
        "university graduates": ("graduate", "university", "major", "degree", "cohort"),
        "gig worker shifts": ("gig", "shift", "worker", "platform", "hours"),
        "training course outcomes": ("course", "training", "certificate", "completion", "exam"),
    },
}

PLACES = (
    ("Zhejiang", "Hangzhou"), ("Guangdong", "Shenzhen"), ("Guangdong", "Guangzhou"), ("Beijing", "Beijing"),
    ("Shanghai", "Shanghai"), ("Sichuan", "Chengdu"), ("Hubei", "Wuhan"), ("Shaanxi", "Xi'an"),
    ("Jiangsu", "Nanjing"), ("Jiangsu", "Suzhou"), ("Shandong", "Qingdao"), ("Fujian", "Xiamen"),
    ("Hunan", "Changsha"), ("Chongqing", "Chongqing"), ("Tianjin", "Tianjin"), ("Yunnan", "Kunming"),
)  # fmt: skip

FORMS = ("raw records", "daily aggregates", "labelled sample", "cleaned table", "API feed", "historical archive")

PROVIDERS = (
    "Bright Data House", "Civic Open Lab", "Cloudline Analytics", "Delta Statistics", "Eastern Insight",
    "Fieldnote Research", "Gridpoint", "Harbour Exchange", "Ironwood Data", "Jade River Technology",
    "Kestrel Sensing", "Lotus Institute", "Metric Works", "Northgate Bureau", "Open Atlas", "Pearl Delta Data",
    "Quantum Survey", "Redwood Archive", "Silkroad Data", "Tidal Information", "Urban Pulse", "Vista Mapping",
    "Westlake Data", "Yellow Crane Analytics",
)  # fmt: skip

COMPANY_WORDS = (
    ("Blue", "Golden", "Rapid", "Smart", "Green", "Silver", "North", "East", "Prime", "Clear"),
    ("River", "Mountain", "Harbour", "Lake", "Forest", "Bridge", "Star", "Field", "Cloud", "Stone"),
    ("Logistics", "Capital", "Health", "Retail", "Energy", "Mobility", "Robotics", "Media", "Consulting", "Software"),
)
