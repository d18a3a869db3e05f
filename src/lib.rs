#![doc = "cellseg"]
