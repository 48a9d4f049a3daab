"""LeRobot data sets, version 3: a folder of parquet tables and videos that many episodes share."""
