"""The GraphQL that the connector sends; tests validate each query against GitHub's schema and price it."""

from __future__ import annotations

MERGED_PULLS = """
query MergedPulls($owner: String!, $name: String!, $after: String, $count: Int!) {
  repository(owner: $owner, name: $name) {
    databaseId
    nameWithOwner
    pullRequests(
      states: MERGED, first: $count, after: $after, orderBy: {field: UPDATED_AT, direction: DESC}
    ) {
      pageInfo { hasNextPage endCursor }
      nodes {
        number
        title
        mergedAt
        updatedAt
        baseRefName
        baseRefOid
        headRefOid
        author { __typename login ... on User { databaseId } ... on Bot { databaseId } }
        mergeCommit { oid }
        commits(first: 100) {
          totalCount
          nodes {
            commit {
              oid
              message
              authoredDate
              author { name email user { databaseId login } }
            }
          }
        }
        reviewThreads(first: 30) {
          totalCount
          nodes {
            id
            isResolved
            isOutdated
            path
            line
            startLine
            originalLine
            diffSide
            comments(first: 5) {
              totalCount
              nodes {
                body
                createdAt
                originalCommit { oid }
                author { __typename login ... on User { databaseId } ... on Bot { databaseId } }
              }
            }
          }
        }
      }
    }
  }
  rateLimit { cost remaining resetAt }
}
"""
"""One page of merged pull requests, newest change first: 16 points for 50 of them."""
