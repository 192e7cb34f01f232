//! Which fields of each resource are columns.

use super::records::Kind::{Flag, Int, Json, Root, Text};
use super::records::Table;

pub(crate) const PROJECTS: Table = Table {
    name: "projects",
    noun: "project",
    columns: &[
        ("id", Text),
        ("name", Text),
        ("domain_id", Root),
        ("parent_id", Text),
        ("is_domain", Flag),
        ("enabled", Flag),
        ("description", Text),
        ("options", Json),
    ],
    has_extra: true,
};

pub(crate) const USERS: Table = Table {
    name: "users",
    noun: "user",
    columns: &[
        ("id", Text),
        ("name", Text),
        ("domain_id", Text),
        ("enabled", Flag),
        ("default_project_id", Text),
        ("options", Json),
    ],
    has_extra: true,
};

pub(crate) const GROUPS: Table = Table {
    name: "user_groups",
    noun: "group",
    columns: &[("id", Text), ("name", Text), ("domain_id", Text), ("description", Text)],
    has_extra: true,
};

pub(crate) const ROLES: Table = Table {
    name: "roles",
    noun: "role",
    columns: &[("id", Text), ("name", Text), ("domain_id", Root), ("description", Text), ("options", Json)],
    has_extra: true,
};

pub(crate) const REGIONS: Table = Table {
    name: "regions",
    noun: "region",
    columns: &[("id", Text), ("description", Text), ("parent_region_id", Text)],
    has_extra: true,
};

pub(crate) const SERVICES: Table = Table {
    name: "services",
    noun: "service",
    columns: &[("id", Text), ("type", Text), ("enabled", Flag)],
    has_extra: true,
};

pub(crate) const ENDPOINTS: Table = Table {
    name: "endpoints",
    noun: "endpoint",
    columns: &[
        ("id", Text),
        ("service_id", Text),
        ("interface", Text),
        ("region_id", Text),
        ("url", Text),
        ("enabled", Flag),
    ],
    has_extra: true,
};

pub(crate) const CREDENTIALS: Table = Table {
    name: "credentials",
    noun: "credential",
    columns: &[("id", Text), ("user_id", Text), ("project_id", Text), ("type", Text), ("blob", Text)],
    has_extra: true,
};

pub(crate) const ACCESS_RULES: Table = Table {
    name: "access_rules",
    noun: "access rule",
    columns: &[("id", Text), ("user_id", Text), ("service", Text), ("path", Text), ("method", Text)],
    has_extra: false,
};

pub(crate) const APP_CREDENTIALS: Table = Table {
    name: "application_credentials",
    noun: "application credential",
    columns: &[
        ("id", Text),
        ("user_id", Text),
        ("project_id", Text),
        ("name", Text),
        ("description", Text),
        ("secret_hash", Text),
        ("expires_us", Int),
        ("unrestricted", Flag),
        ("roles", Json),
        ("access_rules", Json),
    ],
    has_extra: false,
};

pub(crate) const TRUSTS: Table = Table {
    name: "trusts",
    noun: "trust",
    columns: &[
        ("id", Text),
        ("trustor_user_id", Text),
        ("trustee_user_id", Text),
        ("project_id", Text),
        ("impersonation", Flag),
        ("expires_us", Int),
        ("remaining_uses", Int),
        ("roles", Json),
    ],
    has_extra: false,
};
