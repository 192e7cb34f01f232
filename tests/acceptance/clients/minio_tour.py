"""A tour of the S3 API with minio-py, which signs, chunks and probes in its own way."""

import hashlib
import io
import os
import urllib.parse
import urllib.request

from minio import Minio
from minio.commonconfig import ComposeSource, CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

host = urllib.parse.urlparse(os.environ["AWS_ENDPOINT_URL"]).netloc
client = Minio(host, access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
               secure=False)


def refused(code, call, *arguments):
    try:
        call(*arguments)
    except S3Error as error:
        assert error.code == code, f"{call}: {error}"
        return
    raise AssertionError(f"{call} was not refused with {code}")


client.make_bucket("minio-tour")
assert client.bucket_exists("minio-tour") and not client.bucket_exists("nowhere")
assert [bucket.name for bucket in client.list_buckets()] == ["minio-tour"]

name = "a b/ü+.txt"
put = client.put_object("minio-tour", name, io.BytesIO(b"hello"), 5, content_type="text/plain",
                        metadata={"x-amz-meta-colour": "red"})
assert put.etag == hashlib.md5(b"hello").hexdigest(), put.etag
stat = client.stat_object("minio-tour", name)
assert (stat.size, stat.content_type, stat.metadata["x-amz-meta-colour"]) == (5, "text/plain", "red"), stat
assert client.get_object("minio-tour", name, offset=1, length=3).data == b"ell"
refused("NoSuchKey", client.stat_object, "minio-tour", "nothing")

large = hashlib.shake_256(b"large").digest(12 << 20)
for key, size in (("known", len(large)), ("unknown", -1)):
    client.put_object("minio-tour", key, io.BytesIO(large), size, part_size=5 << 20)
    assert client.get_object("minio-tour", key).data == large, key
client.copy_object("minio-tour", "copy", CopySource("minio-tour", "known"))
assert client.get_object("minio-tour", "copy").data == large
client.compose_object("minio-tour", "composed", [ComposeSource("minio-tour", "known"), ComposeSource("minio-tour", name)])
assert client.get_object("minio-tour", "composed").data == large + b"hello"

listed = [entry.object_name for entry in client.list_objects("minio-tour", recursive=True)]
assert listed == sorted([name, "composed", "copy", "known", "unknown"]), listed
assert "a b/" in [entry.object_name for entry in client.list_objects("minio-tour")]

url = client.presigned_get_object("minio-tour", name)
assert urllib.request.urlopen(url).read() == b"hello"
url = client.presigned_put_object("minio-tour", "presigned")
urllib.request.urlopen(urllib.request.Request(url, data=b"by url", method="PUT"))
assert client.get_object("minio-tour", "presigned").data == b"by url"

assert client.get_object_tags("minio-tour", name) is None
assert client.get_bucket_tags("minio-tour") is None
assert client.get_bucket_lifecycle("minio-tour") is None
assert client.get_bucket_encryption("minio-tour") is None
refused("NoSuchBucketPolicy", client.get_bucket_policy, "minio-tour")

names = [DeleteObject(entry.object_name) for entry in client.list_objects("minio-tour", recursive=True)]
assert list(client.remove_objects("minio-tour", names)) == []
client.remove_bucket("minio-tour")
print("all steps passed")
