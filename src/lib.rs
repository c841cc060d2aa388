//! gonogo: a terminal cockpit for migration day.
