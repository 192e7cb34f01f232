//! HTTP server plumbing shared by every port: accept loop, limits, request ids, graceful stop.
