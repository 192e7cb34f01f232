//! The consistent-hash ring: builder, plans, epochs and the assignment table. Pure.
