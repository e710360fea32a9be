"""What two services share: bundle, snapshot, features, Redis keys, events, alert signals."""
