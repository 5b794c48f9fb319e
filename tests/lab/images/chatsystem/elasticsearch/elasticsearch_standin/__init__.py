"""A STAND-IN for Elasticsearch 8: documents put, got and searched by one word. No analysis, no cluster, no security.

True to the real one: it refuses root, a vm.max_map_count below 262144, a data directory it cannot write, a heap of more
than half the memory limit, and unknown settings; it listens on 9200 and 9300; /_cluster/health is yellow or green.
"""
