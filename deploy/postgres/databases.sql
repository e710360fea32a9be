-- Run once, with an empty data folder. The database `recsys` is the server's own default (POSTGRES_DB).
CREATE DATABASE business;
CREATE DATABASE airflow;
