//! Spans of calls, received by a collector of the test.
