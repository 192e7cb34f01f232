//! GetBucketAcl and GetObjectAcl: the owner has full control, nobody else has any. Clients such as s3cmd ask.

use super::{refusal, xml_reply};
use crate::gateway::{Call, Reply, S3Gateway};
use crate::xml::XmlWriter;
use ringfort_object::GetOptions;

impl S3Gateway {
    pub(crate) async fn get_bucket_acl(&self, call: &Call) -> Reply {
        self.inner.objects.container(call.account(), &call.bucket).await.map_err(|e| refusal(e, call))?;
        Ok(xml_reply(owner_only(call)))
    }

    pub(crate) async fn get_object_acl(&self, call: &Call) -> Reply {
        let options = GetOptions { version: super::version_of(&call.query)?, ..GetOptions::default() };
        self.inner.objects.head(&call.path(), options).await.map_err(|e| refusal(e, call))?;
        Ok(xml_reply(owner_only(call)))
    }
}

fn owner_only(call: &Call) -> String {
    const ROOT: &str = "AccessControlPolicy";
    let (id, name) = (call.credential.owner_id(), call.credential.owner_name());
    let mut xml = XmlWriter::root(ROOT, 512);
    xml.person("Owner", id, name);
    xml.open("AccessControlList");
    xml.open("Grant");
    xml.open("Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"");
    xml.text("ID", id);
    xml.text("DisplayName", name);
    xml.close("Grantee");
    xml.text("Permission", "FULL_CONTROL");
    xml.close("Grant");
    xml.close("AccessControlList");
    xml.finish(ROOT)
}
