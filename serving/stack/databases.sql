-- Run once, by the image of PostgreSQL, when its volume is new.
CREATE DATABASE prefect;
CREATE DATABASE mlflow;
