"""Scrapy's crawl of the same site, a line a page."""

from urllib.parse import urlsplit

from scrapy.linkextractors import LinkExtractor
from scrapy.spiders import CrawlSpider, Rule


class Pages(CrawlSpider):
    """Every page of the start's host."""

    name = "pages"
    custom_settings = {
        "DOWNLOAD_DELAY": 0,
        "LOG_LEVEL": "ERROR",
        "RETRY_ENABLED": False,
        "ROBOTSTXT_OBEY": True,
        "TELNETCONSOLE_ENABLED": False,
    }
    rules = [Rule(LinkExtractor(), callback="record", follow=True)]

    def __init__(self, start, **options):
        self.start_urls = [start]
        self.allowed_domains = [urlsplit(start).hostname]
        super().__init__(**options)

    def record(self, response):
        yield {"url": response.url, "status": response.status, "bytes": len(response.body)}
