//! POSTed forms, by which a browser uploads: the fields before the file, whose policy and signature stand in the place of
//! an `Authorization` header.

mod policy;
mod sign;

pub(crate) use policy::PostPolicy;
pub(crate) use sign::signer_of;

use crate::error::{ErrorCode, S3Error};
use ringfort_http::{Form, FormError, PartHead, header_attributes};

/// Most fields of a form.
const FIELDS_MAX: usize = 200;
/// Longest name of a file: no key may be longer.
const FILE_NAME_BYTES_MAX: usize = 1024;
/// What stands for it in a field.
const FILE_NAME: &str = "${filename}";

/// The fields before the file, with their names in lower case.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    all: Vec<(String, String)>,
}

impl Fields {
    #[cfg(test)]
    fn of<'a>(all: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let all = all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { all }
    }

    /// Puts the name of the file where fields ask for it, before the policy is held against them.
    fn expand(&mut self, file_name: &str) -> Result<(), S3Error> {
        // Some browsers send the whole path.
        let name = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
        if name.len() > FILE_NAME_BYTES_MAX {
            return Err(ErrorCode::MaxPostPreDataLengthExceededError.into());
        }
        for (_, value) in self.all.iter_mut().filter(|(_, value)| value.contains(FILE_NAME)) {
            *value = value.replace(FILE_NAME, name);
        }
        Ok(())
    }

    /// The first value of a field.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|(name, _)| name.as_str())
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Reads up to the body of the file, which `form` has next.
    pub(crate) async fn read(form: &mut Form, bytes_max: usize) -> Result<Self, S3Error> {
        let mut fields = Self::default();
        let mut left = bytes_max;
        while let Some(head) = form.next_part().await.map_err(form_refusal)? {
            let (name, file_name) = names_of(&head);
            let name = name.ok_or_else(|| form_refusal(FormError::Broken))?;
            if name == "file" {
                fields.expand(&file_name)?;
                return Ok(fields);
            }
            let mut value = Vec::new();
            left = left.checked_sub(name.len()).ok_or(ErrorCode::MaxPostPreDataLengthExceededError)?;
            while let Some(piece) = form.piece().await.map_err(form_refusal)? {
                left = left.checked_sub(piece.len()).ok_or(ErrorCode::MaxPostPreDataLengthExceededError)?;
                value.extend_from_slice(&piece);
            }
            if fields.all.len() == FIELDS_MAX {
                return Err(ErrorCode::MaxPostPreDataLengthExceededError.into());
            }
            let value = String::from_utf8(value).map_err(|_| form_refusal(FormError::Broken))?;
            fields.all.push((name, value));
        }
        Err(S3Error::argument("file", "", "POST requires exactly one file upload per request."))
    }
}

/// Name and file name of a part.
fn names_of(head: &PartHead) -> (Option<String>, String) {
    let disposition = head.iter().find(|(name, _)| name == "content-disposition");
    let (_, attributes) = disposition.map(|(_, value)| header_attributes(value)).unwrap_or_default();
    let get =
        |wanted: &str| attributes.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    (get("name").map(|name| name.to_ascii_lowercase()), get("filename").unwrap_or_default())
}

pub(crate) fn form_refusal(error: FormError) -> S3Error {
    match error {
        FormError::Start | FormError::Broken => ErrorCode::MalformedPOSTRequest.into(),
        FormError::Body(error) => S3Error::from(ErrorCode::IncompleteBody).internal(error),
    }
}
