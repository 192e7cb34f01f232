"""A tour of the S3 API with boto3: what people's scripts do. Prints each step; the last line tells that all passed."""

import hashlib
import io
import json
import urllib.error
import urllib.request

import boto3
import botocore
import botocore.exceptions
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

s3 = boto3.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 1}))


def step(name):
    print(f"- {name}", flush=True)


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        met = error.response["Error"]["Code"]
        assert met in code, f"{call}: {met}, not {code}: {error.response}"
        assert error.response["ResponseMetadata"]["RequestId"], error.response
        return
    raise AssertionError(f"{call} was not refused with {code}")


step("buckets")
s3.create_bucket(Bucket="tour")
assert "tour" in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
s3.head_bucket(Bucket="tour")
refused(("404", "NoSuchBucket"), s3.head_bucket, Bucket="nowhere")
refused(("NoSuchBucket",), s3.list_objects_v2, Bucket="nowhere")

step("put, head, get")
body = b"hello " * 1000
put = s3.put_object(Bucket="tour", Key="a/b.txt", Body=body, ContentType="text/plain", Metadata={"colour": "red"})
assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"', put
head = s3.head_object(Bucket="tour", Key="a/b.txt")
assert (head["ContentLength"], head["ContentType"], head["Metadata"]) == (6000, "text/plain", {"colour": "red"}), head
assert s3.get_object(Bucket="tour", Key="a/b.txt")["Body"].read() == body
refused(("NoSuchKey",), s3.get_object, Bucket="tour", Key="nothing")

step("ranges and conditions")
part = s3.get_object(Bucket="tour", Key="a/b.txt", Range="bytes=6-10")
assert (part["Body"].read(), part["ContentRange"]) == (b"hello", "bytes 6-10/6000"), part
assert s3.get_object(Bucket="tour", Key="a/b.txt", Range="bytes=-6")["Body"].read() == b"hello "
refused(("InvalidRange", "416"), s3.get_object, Bucket="tour", Key="a/b.txt", Range="bytes=9999-")
refused(("304", "NotModified"), s3.get_object, Bucket="tour", Key="a/b.txt", IfNoneMatch=put["ETag"])
refused(("PreconditionFailed", "412"), s3.get_object, Bucket="tour", Key="a/b.txt", IfMatch='"no"')
refused(("PreconditionFailed",), s3.put_object, Bucket="tour", Key="a/b.txt", Body=b"x", IfNoneMatch="*")
s3.put_object(Bucket="tour", Key="fresh", Body=b"x", IfNoneMatch="*")

step("checksums")
for algorithm in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
    try:
        s3.put_object(Bucket="tour", Key=f"sum-{algorithm}", Body=body, ChecksumAlgorithm=algorithm)
    except botocore.exceptions.MissingDependencyException:
        print(f"  {algorithm}: boto3 lacks its library here")
        continue
    assert s3.get_object(Bucket="tour", Key=f"sum-{algorithm}", ChecksumMode="ENABLED")["Body"].read() == body
refused(("BadDigest", "InvalidDigest", "InvalidRequest"), s3.put_object, Bucket="tour", Key="bad", Body=b"x",
        ChecksumCRC32="AAAAAA==")
refused(("404", "NoSuchKey"), s3.head_object, Bucket="tour", Key="bad")

step("strange names")
names = ["with space", "plus+plus", "per%20cent", "ünïcödé/😀", "a//b", "quote'\"", "amp&<>", "tilde~!*()"]
for name in names:
    s3.put_object(Bucket="tour", Key=f"names/{name}", Body=name.encode())
for name in names:
    assert s3.get_object(Bucket="tour", Key=f"names/{name}")["Body"].read() == name.encode(), name
listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket="tour", Prefix="names/")["Contents"]]
assert sorted(listed) == sorted(f"names/{name}" for name in names), listed
assert listed == sorted(listed, key=lambda key: key.encode()), listed

step("listing by delimiter and page")
for number in range(25):
    s3.put_object(Bucket="tour", Key=f"page/{number:02}/x", Body=b"")
pages = s3.get_paginator("list_objects_v2").paginate(Bucket="tour", Prefix="page/", Delimiter="/",
                                                     PaginationConfig={"PageSize": 10})
prefixes = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
assert prefixes == [f"page/{number:02}/" for number in range(25)], prefixes
pages = s3.get_paginator("list_objects").paginate(Bucket="tour", Prefix="page/", PaginationConfig={"PageSize": 7})
assert sum(len(page["Contents"]) for page in pages) == 25

step("copy")
s3.copy_object(Bucket="tour", Key="copy", CopySource={"Bucket": "tour", "Key": "a/b.txt"})
assert s3.head_object(Bucket="tour", Key="copy")["Metadata"] == {"colour": "red"}
s3.copy_object(Bucket="tour", Key="copy", CopySource={"Bucket": "tour", "Key": "a/b.txt"}, MetadataDirective="REPLACE",
               Metadata={"colour": "blue"})
assert s3.head_object(Bucket="tour", Key="copy")["Metadata"] == {"colour": "blue"}
assert s3.get_object(Bucket="tour", Key="copy")["Body"].read() == body

step("multipart")
large = hashlib.shake_256(b"large").digest(17 << 20)
s3.upload_fileobj(io.BytesIO(large), "tour", "large", Config=TransferConfig(multipart_chunksize=5 << 20))
head = s3.head_object(Bucket="tour", Key="large")
assert head["ContentLength"] == len(large) and head["ETag"].endswith('-4"'), head
assert s3.get_object(Bucket="tour", Key="large")["Body"].read() == large
second = s3.get_object(Bucket="tour", Key="large", PartNumber=2)
assert second["Body"].read() == large[5 << 20:10 << 20] and second["PartsCount"] == 4, second
s3.copy({"Bucket": "tour", "Key": "large"}, "tour", "large-copy", Config=TransferConfig(
    multipart_threshold=8 << 20, multipart_chunksize=8 << 20))
assert s3.get_object(Bucket="tour", Key="large-copy")["Body"].read() == large
upload = s3.create_multipart_upload(Bucket="tour", Key="left")["UploadId"]
first = s3.upload_part(Bucket="tour", Key="left", UploadId=upload, PartNumber=1, Body=b"x" * (5 << 20))
assert [part["PartNumber"] for part in s3.list_parts(Bucket="tour", Key="left", UploadId=upload)["Parts"]] == [1]
assert [entry["Key"] for entry in s3.list_multipart_uploads(Bucket="tour")["Uploads"]] == ["left"]
refused(("InvalidPart",), s3.complete_multipart_upload, Bucket="tour", Key="left", UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 2, "ETag": first["ETag"]}]})
s3.abort_multipart_upload(Bucket="tour", Key="left", UploadId=upload)
refused(("NoSuchUpload",), s3.list_parts, Bucket="tour", Key="left", UploadId=upload)

step("versions")
s3.create_bucket(Bucket="versions")
s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
assert s3.get_bucket_versioning(Bucket="versions")["Status"] == "Enabled"
ids = [s3.put_object(Bucket="versions", Key="k", Body=f"v{n}".encode())["VersionId"] for n in range(3)]
marker = s3.delete_object(Bucket="versions", Key="k")
assert marker["DeleteMarker"] is True, marker
refused(("NoSuchKey",), s3.get_object, Bucket="versions", Key="k")
assert s3.get_object(Bucket="versions", Key="k", VersionId=ids[1])["Body"].read() == b"v1"
listing = s3.list_object_versions(Bucket="versions")
assert [entry["VersionId"] for entry in listing["Versions"]] == ids[::-1], listing
assert [entry["VersionId"] for entry in listing["DeleteMarkers"]] == [marker["VersionId"]], listing
s3.delete_object(Bucket="versions", Key="k", VersionId=marker["VersionId"])
assert s3.get_object(Bucket="versions", Key="k")["Body"].read() == b"v2"
refused(("BucketNotEmpty",), s3.delete_bucket, Bucket="versions")
for version in ids:
    s3.delete_object(Bucket="versions", Key="k", VersionId=version)
s3.delete_bucket(Bucket="versions")

step("presigned")
url = s3.generate_presigned_url("get_object", Params={"Bucket": "tour", "Key": "names/with space"})
assert urllib.request.urlopen(url).read() == b"with space"
url = s3.generate_presigned_url("put_object", Params={"Bucket": "tour", "Key": "presigned"})
urllib.request.urlopen(urllib.request.Request(url, data=b"by url", method="PUT"))
assert s3.get_object(Bucket="tour", Key="presigned")["Body"].read() == b"by url"

step("integrity")
refused(("BadDigest",), s3.put_object, Bucket="tour", Key="bad", Body=b"x", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")
refused(("InvalidDigest",), s3.put_object, Bucket="tour", Key="bad", Body=b"x", ContentMD5="AAAA")
refused(("404", "NoSuchKey"), s3.head_object, Bucket="tour", Key="bad")

step("completing under conditions, and again")
parts = []
upload = s3.create_multipart_upload(Bucket="tour", Key="twice", ChecksumAlgorithm="CRC32")["UploadId"]
for number, text in ((1, b"x" * (5 << 20)), (2, b"end")):
    part = s3.upload_part(Bucket="tour", Key="twice", UploadId=upload, PartNumber=number, Body=text)
    parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
complete = {"Bucket": "tour", "Key": "twice", "UploadId": upload, "MultipartUpload": {"Parts": parts}}
refused(("NoSuchKey",), s3.complete_multipart_upload, IfMatch=put["ETag"], **complete)
refused(("InvalidPartOrder",), s3.complete_multipart_upload, **{**complete, "MultipartUpload": {"Parts": parts[::-1]}})
done = s3.complete_multipart_upload(IfNoneMatch="*", **complete)
again = s3.complete_multipart_upload(IfNoneMatch="*", **complete)
assert (done["ETag"], done["ChecksumCRC32"]) == (again["ETag"], again["ChecksumCRC32"]), (done, again)
assert s3.head_object(Bucket="tour", Key="twice", ChecksumMode="ENABLED")["ChecksumCRC32"] == done["ChecksumCRC32"]
count = s3.get_object_attributes(Bucket="tour", Key="twice", ObjectAttributes=["ObjectParts", "ObjectSize"])
assert (count["ObjectParts"]["TotalPartsCount"], count["ObjectSize"]) == (2, (5 << 20) + 3), count
assert s3.get_object(Bucket="tour", Key="twice", Range="bytes=5242879-")["Body"].read() == b"xend"

step("what is not set says so, what is not there too")
refused(("NoSuchWebsiteConfiguration",), s3.get_bucket_website, Bucket="tour")
refused(("NoSuchTagSet",), s3.get_bucket_tagging, Bucket="tour")
assert s3.get_object_tagging(Bucket="tour", Key="fresh")["TagSet"] == []
assert s3.get_bucket_location(Bucket="tour")["LocationConstraint"] is None
refused(("NotImplemented",), s3.list_bucket_analytics_configurations, Bucket="tour")

step("tags, lists, policies, lifecycle and cross-origin rules")
tags = [{"Key": "colour", "Value": "blue green"}, {"Key": "empty", "Value": ""}]
s3.put_object_tagging(Bucket="tour", Key="fresh", Tagging={"TagSet": tags})
assert s3.get_object_tagging(Bucket="tour", Key="fresh")["TagSet"] == tags
assert s3.head_object(Bucket="tour", Key="fresh")["ContentLength"] == 1
s3.delete_object_tagging(Bucket="tour", Key="fresh")
assert s3.get_object_tagging(Bucket="tour", Key="fresh")["TagSet"] == []
s3.put_bucket_tagging(Bucket="tour", Tagging={"TagSet": tags})
assert s3.get_bucket_tagging(Bucket="tour")["TagSet"] == tags
nobody = boto3.client("s3", config=Config(signature_version=botocore.UNSIGNED, s3={"addressing_style": "path"}))
refused(("AccessDenied",), nobody.get_object, Bucket="tour", Key="fresh")
s3.put_object_acl(Bucket="tour", Key="fresh", ACL="public-read")
assert nobody.get_object(Bucket="tour", Key="fresh")["Body"].read() == b"x"
refused(("AccessDenied",), nobody.put_object, Bucket="tour", Key="fresh", Body=b"y")
s3.put_object_acl(Bucket="tour", Key="fresh", ACL="private")
refused(("AccessDenied",), nobody.get_object, Bucket="tour", Key="fresh")
policy = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::tour/names/*"}]})
s3.put_bucket_policy(Bucket="tour", Policy=policy)
assert json.loads(s3.get_bucket_policy(Bucket="tour")["Policy"]) == json.loads(policy)
assert nobody.get_object(Bucket="tour", Key="names/with space")["Body"].read() == b"with space"
refused(("AccessDenied",), nobody.get_object, Bucket="tour", Key="fresh")
refused(("AccessDenied",), nobody.list_objects_v2, Bucket="tour")
s3.delete_bucket_policy(Bucket="tour")
refused(("AccessDenied",), nobody.get_object, Bucket="tour", Key="names/with space")
rules = [{"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 3}}]
s3.put_bucket_lifecycle_configuration(Bucket="tour", LifecycleConfiguration={"Rules": rules})
assert s3.get_bucket_lifecycle_configuration(Bucket="tour")["Rules"] == rules
s3.delete_bucket_lifecycle(Bucket="tour")
refused(("NoSuchLifecycleConfiguration",), s3.get_bucket_lifecycle_configuration, Bucket="tour")
rules = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["http://page.example"], "MaxAgeSeconds": 60}]
s3.put_bucket_cors(Bucket="tour", CORSConfiguration={"CORSRules": rules})
assert s3.get_bucket_cors(Bucket="tour")["CORSRules"] == rules
s3.delete_bucket_cors(Bucket="tour")

step("a form")
form = s3.generate_presigned_post("tour", "posted/${filename}", Fields={"acl": "private"}, Conditions=[
    {"acl": "private"}, ["content-length-range", 1, 10]])
boundary = "----a-boundary"
parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
         for name, value in form["fields"].items()]
for content, status in ((b"by form", 204), (b"by a longer form", 400)):
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\n'.encode()
    whole = "".join(parts).encode() + file + content + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(form["url"], data=whole, method="POST", headers={
        "Content-Type": f"multipart/form-data; boundary={boundary}"})
    try:
        met = urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        met = error.code
    assert met == status, (met, status)
assert s3.get_object(Bucket="tour", Key="posted/f.txt")["Body"].read() == b"by form"

step("signatures of version 2")
older = boto3.client("s3", config=Config(signature_version="s3", s3={"addressing_style": "path"}))
older.put_object(Bucket="tour", Key="older", Body=b"by version 2", Metadata={"colour": "red"})
assert older.head_object(Bucket="tour", Key="older")["Metadata"] == {"colour": "red"}
url = older.generate_presigned_url("get_object", Params={"Bucket": "tour", "Key": "older"})
assert "AWSAccessKeyId=" in url and urllib.request.urlopen(url).read() == b"by version 2"

step("delete many")
pages = s3.get_paginator("list_objects_v2").paginate(Bucket="tour")
keys = [{"Key": entry["Key"]} for page in pages for entry in page["Contents"]]
done = s3.delete_objects(Bucket="tour", Delete={"Objects": keys})
assert len(done["Deleted"]) == len(keys) and not done.get("Errors"), done
assert s3.list_objects_v2(Bucket="tour")["KeyCount"] == 0
s3.delete_bucket(Bucket="tour")
refused(("NoSuchBucket",), s3.list_objects_v2, Bucket="tour")
print("all steps passed")
