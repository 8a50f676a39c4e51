"""S3: a check of a bucket, durations and spans of what goes through clients of boto3, aioboto3 and aiobotocore."""

from belvedere.integrations._s3.part import s3

__all__ = ["s3"]
