"""Elasticsearch: a check of the cluster, metrics and spans of what goes through a client of elasticsearch-py."""

from belvedere.integrations._elasticsearch.part import elasticsearch

__all__ = ["elasticsearch"]
