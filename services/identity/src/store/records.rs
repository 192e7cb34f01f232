//! Records and the statements that keep them, made from the description of a table.

use crate::error::{ApiError, Result};
use crate::store::Store;
use ringfort_db::{Row, Transaction, Value};
use serde_json::Value as Json;

/// A resource as the API shows it, without its links.
pub(crate) type Record = serde_json::Map<String, Json>;

/// Rows of a list at most; a longer one is cut, and says so.
pub(crate) const LIST_MAX: usize = 10_000;

/// How a field lies in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A text of which null is kept as empty, since no two nulls are alike to `UNIQUE`.
    Root,
    Flag,
    Int,
    Json,
}

/// A table of one kind of resource, with a text `id` as its key.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// What one of them is called in errors.
    pub(crate) noun: &'static str,
    pub(crate) columns: &'static [(&'static str, Kind)],
    /// Whether fields that are no column are kept.
    pub(crate) has_extra: bool,
}

/// The text at `name`; empty if there is none.
pub(crate) fn text_of<'a>(record: &'a Record, name: &str) -> &'a str {
    record.get(name).and_then(Json::as_str).unwrap_or_default()
}

/// The flag at `name`; false if there is none.
pub(crate) fn flag_of(record: &Record, name: &str) -> bool {
    record.get(name).and_then(Json::as_bool).unwrap_or_default()
}

impl Table {
    fn kind(&self, field: &str) -> Option<Kind> {
        self.columns.iter().find(|(name, _)| *name == field).map(|(_, kind)| *kind)
    }

    fn column_list(&self) -> String {
        let mut names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        if self.has_extra {
            names.push("extra");
        }
        names.join(", ")
    }

    fn read(&self, row: &Row) -> Record {
        let mut record = Record::new();
        if self.has_extra
            && let Ok(extra) = serde_json::from_str::<Record>(&row.text(self.columns.len()))
        {
            record = extra;
        }
        for (at, (name, kind)) in self.columns.iter().enumerate() {
            let value = match kind {
                Kind::Text => row.opt_text(at).map_or(Json::Null, Json::from),
                Kind::Root => row.opt_text(at).filter(|text| !text.is_empty()).map_or(Json::Null, Json::from),
                Kind::Flag => Json::from(row.flag(at)),
                Kind::Int => row.opt_int(at).map_or(Json::Null, Json::from),
                Kind::Json => {
                    row.opt_text(at).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Json::Null)
                }
            };
            record.insert((*name).to_owned(), value);
        }
        record
    }

    fn bind(kind: Kind, value: Option<&Json>) -> Value {
        let value = value.filter(|value| !value.is_null());
        match kind {
            Kind::Text => Value::Text(value.map(|value| value.as_str().unwrap_or_default().to_owned())),
            Kind::Root => Value::from(value.and_then(Json::as_str).unwrap_or_default()),
            Kind::Flag => Value::from(value.and_then(Json::as_bool).unwrap_or_default()),
            Kind::Int => Value::Int(value.and_then(Json::as_i64)),
            Kind::Json => Value::Text(value.map(Json::to_string)),
        }
    }

    /// The values of all columns.
    fn write(&self, record: &Record) -> Vec<Value> {
        let mut values: Vec<Value> =
            self.columns.iter().map(|(name, kind)| Self::bind(*kind, record.get(*name))).collect();
        if self.has_extra {
            let extra: Record = record
                .iter()
                .filter(|(name, _)| self.kind(name).is_none())
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            values.push(Json::Object(extra).to_string().into());
        }
        values
    }

    /// What a column must hold to equal the text of a filter; `None` if `field` is no column.
    pub(crate) fn filter_value(&self, field: &str, text: &str) -> Option<Json> {
        match self.kind(field)? {
            // As Keystone reads flags in a query: all but these are true.
            Kind::Flag => Some((!["0", "false", "False", "off", "no"].contains(&text)).into()),
            Kind::Root if text == "null" => Some(Json::Null),
            Kind::Text | Kind::Root => Some(text.into()),
            Kind::Int | Kind::Json => None,
        }
    }

    fn select(&self, filters: &[(&str, Json)]) -> (String, Vec<Value>) {
        let mut sql = format!("SELECT {} FROM {}", self.column_list(), self.name);
        let mut values = Vec::new();
        for (at, (name, wanted)) in filters.iter().enumerate() {
            let kind = self.kind(name).expect("filters name columns");
            let word = if at == 0 { "WHERE" } else { "AND" };
            if wanted.is_null() && kind != Kind::Root {
                sql.push_str(&format!(" {word} {name} IS NULL"));
            } else {
                values.push(Self::bind(kind, Some(wanted)));
                sql.push_str(&format!(" {word} {name} = ${}", values.len()));
            }
        }
        sql.push_str(&format!(" ORDER BY id LIMIT {}", LIST_MAX + 1));
        (sql, values)
    }

    /// Adds a record.
    pub(crate) async fn insert(&self, transaction: &mut Transaction, record: &Record) -> Result<()> {
        let values = self.write(record);
        let places: Vec<String> = (1..=values.len()).map(|at| format!("${at}")).collect();
        let sql =
            format!("INSERT INTO {} ({}) VALUES ({})", self.name, self.column_list(), places.join(", "));
        transaction.execute(&sql, &values).await.map_err(|error| self.refusal(error, record))?;
        Ok(())
    }

    /// Puts `record` in the place of the one with its id.
    pub(crate) async fn update(&self, transaction: &mut Transaction, record: &Record) -> Result<()> {
        let values = self.write(record);
        let names = self.column_list();
        let sets: Vec<String> =
            names.split(", ").enumerate().skip(1).map(|(at, name)| format!("{name} = ${}", at + 1)).collect();
        let sql = format!("UPDATE {} SET {} WHERE id = $1", self.name, sets.join(", "));
        let changed =
            transaction.execute(&sql, &values).await.map_err(|error| self.refusal(error, record))?;
        if changed == 0 { Err(ApiError::not_found(self.noun, text_of(record, "id"))) } else { Ok(()) }
    }

    /// Removes the record `id`.
    pub(crate) async fn delete(&self, transaction: &mut Transaction, id: &str) -> Result<()> {
        let sql = format!("DELETE FROM {} WHERE id = $1", self.name);
        let removed = transaction.execute(&sql, &[id.into()]).await?;
        if removed == 0 { Err(ApiError::not_found(self.noun, id)) } else { Ok(()) }
    }

    /// The record `id` as this transaction sees it.
    pub(crate) async fn load(&self, transaction: &mut Transaction, id: &str) -> Result<Record> {
        let (sql, values) = self.select(&[("id", Json::from(id))]);
        let rows = transaction.fetch(&sql, &values).await?;
        rows.first().map(|row| self.read(row)).ok_or_else(|| ApiError::not_found(self.noun, id))
    }

    fn refusal(&self, error: ringfort_db::DbError, record: &Record) -> ApiError {
        match error {
            ringfort_db::DbError::Conflict(_) => ApiError::conflict(format!(
                "Conflict occurred attempting to store {} - Duplicate entry found with name {} at domain ID {}.",
                self.noun,
                text_of(record, "name"),
                text_of(record, "domain_id"),
            )),
            other => other.into(),
        }
    }
}

impl Store {
    /// The record `id`, if there is one.
    pub(crate) async fn find(&self, table: &Table, id: &str) -> Result<Option<Record>> {
        let (sql, values) = table.select(&[("id", Json::from(id))]);
        Ok(self.db.fetch(&sql, &values).await?.first().map(|row| table.read(row)))
    }

    /// The record `id`.
    pub(crate) async fn get(&self, table: &Table, id: &str) -> Result<Record> {
        self.find(table, id).await?.ok_or_else(|| ApiError::not_found(table.noun, id))
    }

    /// Those of the records `ids` that are there.
    pub(crate) async fn get_many(&self, table: &Table, ids: &[String]) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        // Both engines have a limit of values in a statement.
        for ids in ids.chunks(500) {
            let places: Vec<String> = (1..=ids.len()).map(|at| format!("${at}")).collect();
            let sql = format!(
                "SELECT {} FROM {} WHERE id IN ({}) ORDER BY id",
                table.column_list(),
                table.name,
                places.join(", ")
            );
            let values: Vec<Value> = ids.iter().map(Value::from).collect();
            records.extend(self.db.fetch(&sql, &values).await?.iter().map(|row| table.read(row)));
        }
        Ok(records)
    }

    /// The records whose columns have these values; one more than [`LIST_MAX`] at most.
    pub(crate) async fn list(&self, table: &Table, filters: &[(&str, Json)]) -> Result<Vec<Record>> {
        let (sql, values) = table.select(filters);
        Ok(self.db.fetch(&sql, &values).await?.iter().map(|row| table.read(row)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tables::PROJECTS;
    use serde_json::json;

    #[test]
    fn fields_that_are_no_column_are_kept_beside() {
        let Json::Object(record) =
            json!({"id": "p", "name": "n", "domain_id": null, "enabled": true, "colour": {"a": [1]}})
        else {
            panic!("an object")
        };
        let values = PROJECTS.write(&record);
        assert_eq!(values[2], Value::from(""));
        assert_eq!(values.last(), Some(&Value::from(r#"{"colour":{"a":[1]}}"#)));
        let (sql, values) = PROJECTS.select(&[("domain_id", Json::Null), ("parent_id", Json::Null)]);
        assert!(sql.contains("WHERE domain_id = $1 AND parent_id IS NULL ORDER BY"), "{sql}");
        assert_eq!(values.len(), 1);
    }
}
